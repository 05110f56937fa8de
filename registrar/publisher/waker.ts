/** Lets one loop wait until somebody says that there is work. */
export interface Waker {
  /** Ends the wait under way, or else the next one at once. */
  wake(): void;
  /** Resolves after a `wake`, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void>;
}

export function createWaker(): Waker {
  let woken = false;
  let end: (() => void) | undefined;
  return {
    wake() {
      woken = true;
      end?.();
    },
    async wait(signal) {
      if (!woken && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const done = () => {
            end = undefined;
            signal.removeEventListener("abort", done);
            resolve();
          };
          end = done;
          signal.addEventListener("abort", done, { once: true });
        });
      }
      woken = false;
    },
  };
}
