import { expect, it, vi } from "vitest";
import { createClient } from "./client.ts";
import type { ClientOptions } from "./options.ts";

// What a program without types may hand over.
it.each([undefined, {}, { url: undefined }, { url: 7 }, { url: "resolver.example.com" }])(
  "a client is refused, not broken, when it is made of %j",
  (options) => {
    expect(() => createClient(options as unknown as ClientOptions)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining("url must be") }),
    );
  },
);

it.each([
  [{ tag: ["blue"] }, "There is no filter tag: use version, tags,"],
  [{ toString: "x" }, "There is no filter toString"],
  [{ tags: "blue" }, "tags must be an array"],
])("with the filter %j nothing is asked for, rather than every instance", async (filters, said) => {
  const fetch = vi.fn<() => Promise<Response>>();
  const client = createClient({ url: "https://r.example.com", fetch });
  const refused = expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining(said) });
  await expect(client.resolve("web", filters as object)).rejects.toEqual(refused);
  await expect(client.pick("web", { key: "a", ...(filters as object) })).rejects.toEqual(refused);
  await expect(client.fetch("web", "/", { filters: filters as object })).rejects.toEqual(refused);
  expect(() => client.watch("web", { ...(filters as object), signal: AbortSignal.abort() })).toThrow(refused);
  expect(fetch).not.toHaveBeenCalled();
});
