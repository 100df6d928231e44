/* A stand-in for libnvidia-ml.so.1. Three devices: GPU-0, a whole one whose figures are in the file
   that STAND_IN_NVML names ("per cent, bytes, millijoules"); GPU-1, an old one that counts no
   energy; MIG-2, a slice of three of seven. STAND_IN_FAIL=name:code makes one function fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct {
  unsigned multiprocessors, copy, decoder, encoder, jpeg, optical, instance_slices, compute_slices;
  unsigned long long megabytes;
} attributes;

static const char *uuids[] = {"GPU-0", "GPU-1", "MIG-2"};
static const char *names[] = {"NVIDIA H100 80GB HBM3", "Example GPU", "NVIDIA H100 80GB HBM3 MIG 3g.40gb"};
static int devices[3];
static int users;

static int fails(const char *name) {
  const char *told = getenv("STAND_IN_FAIL");
  size_t length = strlen(name);
  if (told && !strncmp(told, name, length) && told[length] == ':') return atoi(told + length + 1);
  return users ? 0 : 1; /* NVML_ERROR_UNINITIALIZED */
}
#define OR_FAIL do { int code = fails(__func__); if (code) return code; } while (0)

static int number(void *device) { return (int)((int *)device - devices); }

static unsigned long long figure(int which) {
  unsigned long long found[3] = {0, 0, 0};
  const char *path = getenv("STAND_IN_NVML");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (!file) return 0;
  if (fscanf(file, "%llu %llu %llu", found, found + 1, found + 2) != 3) exit(9);
  fclose(file);
  return found[which];
}

int nvmlInit_v2(void) { users++; int code = fails(__func__); if (code) users--; return code; }
int nvmlShutdown(void) { OR_FAIL; users--; return 0; }
int standInUsers(void) { return users; }

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
  OR_FAIL;
  for (int i = 0; i < 3; i++)
    if (!strcmp(uuid, uuids[i])) { *device = devices + i; return 0; }
  return 6; /* NVML_ERROR_NOT_FOUND */
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
  OR_FAIL;
  if (index > 1) return 2; /* NVML_ERROR_INVALID_ARGUMENT */
  *device = devices + index;
  return 0;
}
int nvmlDeviceGetName(void *device, char *name, unsigned length) {
  OR_FAIL;
  return snprintf(name, length, "%s", names[number(device)]) >= (int)length ? 7 : 0;
}
int nvmlDeviceGetUtilizationRates(void *device, utilization *out) {
  OR_FAIL;
  if (number(device) == 2) return 3; /* NVML_ERROR_NOT_SUPPORTED */
  out->gpu = number(device) ? 100 : (unsigned)figure(0);
  return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, memory *out) {
  OR_FAIL;
  out->total = 80ull << 30;
  out->used = (500ull << 20) + (number(device) ? 0 : figure(1)); /* the driver's own comes first */
  out->free = out->total - out->used;
  return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *out) {
  OR_FAIL;
  if (number(device)) return 3;
  *out = 7000000 + figure(2);
  return 0;
}
int nvmlDeviceIsMigDeviceHandle(void *device, unsigned *out) {
  OR_FAIL;
  *out = number(device) == 2;
  return 0;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *device, void **whole) {
  OR_FAIL;
  *whole = devices;
  return number(device) == 2 ? 0 : 2;
}
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *out) {
  OR_FAIL;
  *out = 7;
  return number(device) ? 2 : 0;
}
int nvmlDeviceGetAttributes_v2(void *device, attributes *out) {
  OR_FAIL;
  memset(out, 0xff, sizeof *out);
  out->compute_slices = 3;
  return number(device) == 2 ? 0 : 3;
}
