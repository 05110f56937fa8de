/** What stands between two blank lines of an event stream (WHATWG HTML, 9.2.6); empty for a comment. */
export interface EventBlock {
  readonly event: string | undefined;
  readonly data: string | undefined;
  readonly id: string | undefined;
  readonly retryMs: number | undefined;
}

export interface EventBlocks {
  /** Takes the next part of the stream; gives the blocks that it completes. */
  push(text: string): EventBlock[];
  /** Characters that wait for the end of their block. */
  readonly pending: number;
}

export function createEventBlocks(): EventBlocks {
  let rest = "";
  let fields = new Map<string, string>();
  let characters = 0;

  function take(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    const before = name === "data" ? fields.get(name) : undefined;
    fields.set(name, before === undefined ? value : `${before}\n${value}`);
    characters += line.length;
  }

  function complete(): EventBlock {
    const retry = fields.get("retry") ?? "";
    const block = {
      event: fields.get("event"),
      data: fields.get("data"),
      id: fields.get("id"),
      retryMs: /^\d{1,9}$/.test(retry) ? Number(retry) : undefined,
    };
    fields = new Map();
    characters = 0;
    return block;
  }

  return {
    push(text) {
      const blocks: EventBlock[] = [];
      // Only what is new is searched, so that a long line that comes in many parts is not searched again with each.
      let start = 0;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
        const line = (rest + text.slice(start, end)).replace(/\r$/, "");
        rest = "";
        start = end + 1;
        if (line !== "") take(line);
        else if (fields.size > 0) blocks.push(complete());
      }
      rest += text.slice(start);
      return blocks;
    },
    get pending() {
      return rest.length + characters;
    },
  };
}
