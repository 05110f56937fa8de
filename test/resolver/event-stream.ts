/** One event as it came, or what else a block held: a retry time, a heartbeat, an id alone. */
export interface ReadEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: unknown;
}

export interface EventReader {
  /** In their order so far; a comment is the event `:`, a retry time the event `retry`. */
  readonly events: ReadEvent[];
  readonly ended: boolean;
  cancel(): Promise<void>;
}

/** Reads Server-Sent Events as fast as they come. */
export function readEvents({ body }: Response): EventReader {
  if (!body) throw new Error("the response has no body");
  const reader = body.getReader();
  const read = { events: [] as ReadEvent[], ended: false, cancel: () => reader.cancel() };
  let text = "";
  const decoder = new TextDecoder();
  async function run(): Promise<void> {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      read.events.push(...blocks.map(parse));
    }
    read.ended = true;
  }
  run().catch(() => (read.ended = true));
  return read;
}

function parse(block: string): ReadEvent {
  const fields = new Map(block.split("\n").map((line) => [line.split(":", 1)[0] ?? "", line.replace(/^[^:]*: ?/, "")]));
  const data = fields.get("data");
  const id = fields.get("id");
  if (data !== undefined) return { event: fields.get("event") ?? "message", id, data: JSON.parse(data) };
  if (fields.has("retry")) return { event: "retry", id, data: Number(fields.get("retry")) };
  return { event: ":", id, data: undefined };
}
