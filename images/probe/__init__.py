"""The probe: techniques that a hostile submission might use, tried by a program of ours."""
