/** V8's own figures of an isolate, in bytes. What nobody holds any more is still in them until it is collected. */
export interface Heap {
  readonly usedBytes: number;
  /** Of what V8 keeps outside of its heap: ArrayBuffers above all. */
  readonly outsideBytes: number;
}

interface HeapUsage {
  readonly usedSize: number;
  readonly embedderHeapUsedSize: number;
  readonly backingStorageSize: number;
}

/**
 * Flags of V8: each collection is of the whole heap, and one comes after every few megabytes, so that little that is let go
 * of is counted. The inspector of workerd does not collect when it is asked to.
 */
export const COLLECT_ALL = ["--gc-global", "--max-semi-space-size=8"];

/** By workerd's inspector. */
export async function heapOf(inspectorPort: number): Promise<Heap> {
  const socket = new WebSocket(`ws://127.0.0.1:${inspectorPort}/main`);
  try {
    const { usedSize, embedderHeapUsedSize, backingStorageSize } = await new Promise<HeapUsage>((resolve, reject) => {
      socket.addEventListener("open", () => socket.send('{"id":1,"method":"Runtime.getHeapUsage"}'));
      socket.addEventListener("error", () => reject(new Error("the inspector does not answer")));
      socket.addEventListener("message", ({ data }) => {
        const message = JSON.parse(String(data)) as { readonly id?: number; readonly result?: HeapUsage };
        if (message.id === 1 && message.result) resolve(message.result);
      });
    });
    return { usedBytes: usedSize, outsideBytes: embedderHeapUsedSize + backingStorageSize };
  } finally {
    socket.close();
  }
}
