/** Milliseconds of the kernel's monotonic clock, which all processes of a machine share. */
export function sharedMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
