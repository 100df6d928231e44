/* A stand-in for libcuda.so.1: one GPU of 16 MiB, whose only kernel adds one to 1,024 numbers.
   STAND_IN_FAIL=name:code makes one function fail; STAND_IN_GPUS is how many there are;
   STAND_IN_TRACE, where it is set, is a file that gets a line for each fill. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t room = 16u << 20;

static int fails(const char *name) {
  const char *told = getenv("STAND_IN_FAIL");
  size_t length = strlen(name);
  if (told && !strncmp(told, name, length) && told[length] == ':') return atoi(told + length + 1);
  return 0;
}
#define OR_FAIL do { int code = fails(__func__); if (code) return code; } while (0)

int cuInit(unsigned flags) { OR_FAIL; return flags ? 1 : 0; }
int cuDeviceGetCount(int *count) {
  OR_FAIL;
  const char *told = getenv("STAND_IN_GPUS");
  *count = told ? atoi(told) : 1;
  return 0;
}
int cuDeviceGet(int *device, int number) { OR_FAIL; *device = number; return 0; }
int cuCtxCreate_v2(void **context, unsigned flags, int device) {
  OR_FAIL;
  *context = &room;
  return flags || device < 0 ? 1 : 0;
}
int cuCtxDestroy_v2(void *context) { OR_FAIL; return context != &room; }
int cuModuleLoadData(void **module, const char *image) {
  OR_FAIL;
  *module = strstr(image, ".visible .entry add_one(") ? (void *)image : NULL;
  return *module ? 0 : 218;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  OR_FAIL;
  *function = module;
  return strcmp(name, "add_one") ? 500 : 0;
}
int cuMemGetInfo_v2(size_t *free_, size_t *total) {
  OR_FAIL;
  *free_ = *total = 16u << 20;
  return 0;
}
int cuMemAlloc_v2(uint64_t *memory, size_t size) {
  OR_FAIL;
  if (size > room || size > 9u << 20) return 2;
  size_t *block = malloc(sizeof(size_t) + size);
  block[0] = size;
  room -= size;
  *memory = (uint64_t)(block + 1);
  return 0;
}
int cuMemFree_v2(uint64_t memory) {
  OR_FAIL;
  size_t *block = (size_t *)memory - 1;
  room += block[0];
  free(block);
  return 0;
}
int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size) {
  OR_FAIL;
  memcpy((void *)to, from, size);
  return 0;
}
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) {
  OR_FAIL;
  memcpy(to, (void *)from, size);
  return 0;
}
int cuMemsetD8_v2(uint64_t to, unsigned char value, size_t size) {
  OR_FAIL;
  memset((void *)to, value, size);
  if (!getenv("STAND_IN_TRACE")) return 0;
  FILE *trace = fopen(getenv("STAND_IN_TRACE"), "a");
  fprintf(trace, "%d %zu\n", value, size);
  return fclose(trace);
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void *stream, void **parameters, void **extra) {
  OR_FAIL;
  if (!function || gy * gz * by * bz != 1 || shared || stream || extra) return 1;
  uint32_t *numbers = (uint32_t *)*(uint64_t *)parameters[0];
  unsigned wrong = getenv("STAND_IN_WRONG") ? 2 : 1;
  for (unsigned i = 0; i < gx * bx; i++) numbers[i] += wrong;
  return 0;
}
int cuCtxSynchronize(void) { OR_FAIL; return 0; }
