import { createHash } from "node:crypto";
import { createServer, type Server } from "node:net";

export interface KernelLock {
  release(): void;
}

/**
 * Takes the machine-wide lock of this name, or gives undefined while another process has it. It is a socket in Linux's
 * abstract namespace: the kernel lets go of it when its holder dies, whatever the way, where a lock file would stay
 * behind. Elsewhere there is no such thing, and every caller gets the lock.
 */
export function tryLock(name: string): Promise<KernelLock | undefined> {
  if (process.platform !== "linux") return Promise.resolve({ release: () => undefined });
  const address = `\0fingerpost-${createHash("sha256").update(name).digest("hex").slice(0, 32)}`;
  return new Promise((resolve, reject) => {
    const server: Server = createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => {
      server.unref();
      resolve({ release: () => server.close() });
    });
  });
}
