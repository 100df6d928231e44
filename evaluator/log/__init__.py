"""The transparency log: a C2SP static log, its witnesses, and those who watch it.

note -> checkpoint -> tiles -> store    what the owner writes
proof, monitor                          what anyone verifies
witness, cosigning                      who vouches that nothing was taken back

Only the standard library and `cryptography` are needed for any of it.
"""
