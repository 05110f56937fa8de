import { expect, test } from "vitest";
import { createEventBlocks } from "./event-blocks.ts";

const stream =
  "retry: 1000\n\nid: 7\nevent: service\ndata: {\ndata:  1}\n\n:\n\nid\n\nevent:x\r\ndata:a:b\r\n\r\n\n\ndata: rest";
const blocks = [
  { event: undefined, data: undefined, id: undefined, retryMs: 1000 },
  { event: "service", data: "{\n 1}", id: "7", retryMs: undefined },
  { event: undefined, data: undefined, id: undefined, retryMs: undefined },
  { event: undefined, data: undefined, id: "", retryMs: undefined },
  { event: "x", data: "a:b", id: undefined, retryMs: undefined },
];

test.each([1, 2, 3, 7, 1000])("a stream that comes in parts of %i characters gives the same blocks", (size) => {
  const reader = createEventBlocks();
  const read = [];
  for (let start = 0; start < stream.length; start += size)
    read.push(...reader.push(stream.slice(start, start + size)));
  expect(read).toEqual(blocks);
  expect(reader.pending).toBe("data: rest".length);
});
