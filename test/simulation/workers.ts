import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

export interface ShareOptions {
  readonly first: number;
  readonly count: number;
  /** At least one. */
  readonly workers: number;
}

/** Runs seeds in processes of their own, a range each. Whether none broke anything, and all came to their ends. */
export async function shareSeeds({ first, count, workers }: ShareOptions): Promise<boolean> {
  const beginOf = (worker: number) => first + Math.floor((worker * count) / workers);
  const codes = await Promise.all(
    Array.from({ length: workers }, async (_, worker): Promise<unknown> => {
      const [begin, end] = [beginOf(worker), beginOf(worker + 1)];
      if (begin === end) return 0;
      const args = [MAIN, "--seed", String(begin), "--seeds", String(end - begin)];
      const [code] = await once(spawn(process.execPath, args, { stdio: "inherit" }), "exit");
      return code;
    }),
  );
  return codes.every((code) => code === 0);
}
