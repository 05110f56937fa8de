import { expect, it } from "vitest";
import { isLoopback, listen, parseListenAddress } from "./listen.ts";

it("reads host and port, with brackets round an IPv6 address", () => {
  expect(parseListenAddress("7070")).toEqual({ host: "127.0.0.1", port: 7070 });
  expect(parseListenAddress(":7070")).toEqual({ host: "127.0.0.1", port: 7070 });
  expect(parseListenAddress("0.0.0.0:0")).toEqual({ host: "0.0.0.0", port: 0 });
  expect(parseListenAddress("[::1]:80")).toEqual({ host: "::1", port: 80 });
});

it.each(["", "a", "a:b", "host:65536", "::1:80", "host:80/x"])("refuses %j and names it", (text) => {
  expect(() => parseListenAddress(text)).toThrow(`"${text}" is not an address to listen on`);
});

it("counts only this machine as loopback", () => {
  expect(["127.0.0.1", "127.9.9.9", "::1", "localhost"].map(isLoopback)).toEqual([true, true, true, true]);
  expect(["0.0.0.0", "::", "10.0.0.1", "127.example.com", ""].map(isLoopback)).toEqual([
    false,
    false,
    false,
    false,
    false,
  ]);
});

it("names a port that is taken", async () => {
  const first = await listen({ host: "127.0.0.1", port: 0 }, () => new Response("ok"));
  await expect(listen({ host: "127.0.0.1", port: first.port }, () => new Response("ok"))).rejects.toThrow(
    `Port ${first.port} on 127.0.0.1 is taken`,
  );
  await first.close();
});

it("lets the requests under way end before it is closed", async () => {
  let release = () => {};
  const started = Promise.withResolvers<void>();
  const server = await listen({ host: "127.0.0.1", port: 0 }, async () => {
    started.resolve();
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return new Response("ended");
  });
  const answer = fetch(server.url).then((response) => response.text());
  await started.promise;
  const closed = server.close();
  release();
  expect(await answer).toBe("ended");
  await closed;
  await expect(fetch(server.url)).rejects.toThrow("fetch failed");
});
