import { setFlagsFromString } from "node:v8";

/**
 * Keeps the part of the heap in which objects begin as small as it is. V8 doubles it while much of what is new survives,
 * up to 64 MB, and hardly gives that back: a process that fills itself with a catalog once has it for good. To be called
 * early, by a process as a whole: V8 looks at this setting each time it would grow. One that no longer knows it says so
 * on standard error, and goes on.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}
