import type { Clock } from "./clock.ts";

/** What `within` rejects with when the time is up. */
export class DeadlineExceeded extends Error {
  override readonly name = "DeadlineExceeded";

  constructor(what: string, budgetMs: number) {
    super(`${what} took longer than ${budgetMs} ms`);
  }
}

/**
 * Settles as `promise` does, or rejects with DeadlineExceeded after `budgetMs`. The work itself goes on: pass it an
 * abort signal as well where it should end.
 */
export function within<T>(clock: Clock, budgetMs: number, what: string, promise: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const cancel = clock.after(budgetMs, () => reject(new DeadlineExceeded(what, budgetMs)));
    promise.then(
      (value) => {
        cancel();
        resolve(value);
      },
      (error: unknown) => {
        cancel();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}
