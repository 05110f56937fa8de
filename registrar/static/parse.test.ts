import { hostname } from "node:os";
import { expect, it } from "vitest";
import { encodeRegistration, parseRegistrationRequest, REGISTRATION_BYTES_MAX } from "../../contract/registration.ts";
import { toRegistration } from "../agent/held.ts";
import { parseStatic } from "./parse.ts";

const TIME = new Date(0).toISOString();
const web = { service: "web", id: "a", address: "10.0.0.1", port: 80 };

function parse(tables: unknown) {
  const problems: string[] = [];
  return { registrations: parseStatic(tables, "default", problems), problems };
}

it("takes the fields of a PUT with service and namespace, and says nothing of heartbeats", () => {
  const { registrations, problems } = parse([web, { ...web, namespace: "shop", tags: ["blue"], weight: 3 }]);
  expect(problems).toEqual([]);
  expect(parse([{ ...web, check: { type: "tcp" } }]).registrations).toMatchObject([
    { liveness: { type: "check", check: { type: "tcp", intervalSeconds: 10 } } },
  ]);
  expect(registrations).toMatchObject([
    { ref: { namespace: "default", service: "web", instance: "a" }, liveness: { type: "none" } },
    { ref: { namespace: "shop" }, request: { tags: ["blue"], weight: 3, protocol: "http" } },
  ]);
});

it("takes a check, by which the instance is then judged", () => {
  const { registrations, problems } = parse([{ ...web, check: { type: "http", path: "/healthz" } }]);
  expect(problems).toEqual([]);
  expect(parse([{ ...web, check: { type: "tcp" } }]).registrations).toMatchObject([
    { liveness: { type: "check", check: { type: "tcp", intervalSeconds: 10 } } },
  ]);
  expect(registrations).toMatchObject([{ liveness: { type: "check", check: { type: "http", path: "/healthz" } } }]);
});

it("names an instance without an id after its host and port, so that one file can be given to many hosts", () => {
  const { id: _id, ...anonymous } = web;
  const [registration] = parse([anonymous]).registrations;
  expect(registration?.ref.instance).toBe(`${hostname().replaceAll(/[^A-Za-z0-9.-]/g, "-")}-80`);
});

it("lists every broken rule of every table with its place, and gives the others", () => {
  const { registrations, problems } = parse([
    { ...web, port: 0, colour: "red" },
    { address: "http://x", port: 1, namespace: "_agents" },
    { ...web, ttlSeconds: 10, status: "draining" },
    { ...web, id: "b", metadata: { note: "x".repeat(2000), more: "y".repeat(2048) } },
    { ...web, id: "c", check: { type: "tcp", deregisterAfterSeconds: 60 } },
    { ...web, id: "c", check: { type: "http", path: "x" } },
    { ...web, id: "c" },
    { ...web, id: "c" },
  ]);
  expect(registrations.map(({ ref }) => ref.instance)).toEqual(["c"]);
  expect(problems).toEqual([
    "registrar.services[0] (web/a) in the file, port: must be 1 to 65535",
    "registrar.services[0] (web/a) in the file, colour: is not a known field",
    "registrar.services[1] in the file, service: is required",
    expect.stringMatching(/^registrar\.services\[1\] in the file, namespace: must be 1 to 128 of/),
    expect.stringMatching(/^registrar\.services\[1\] in the file, address: must be a host name/),
    expect.stringMatching(/^registrar\.services\[2\] \(web\/a\) in the file, ttlSeconds: must be left out/),
    expect.stringMatching(/^registrar\.services\[2\] \(web\/a\) in the file, status: must be left out/),
    expect.stringMatching(/^registrar\.services\[3\] \(web\/b\) in the file: must be at most 4096 bytes/),
    expect.stringMatching(/services\[4\] \(web\/c\) in the file, check\.deregisterAfterSeconds: must be left out/),
    expect.stringMatching(/services\[5\] \(web\/c\) in the file, check\.path: must start with/),
    'registrar.services[7] (web/c) in the file: repeats the instance "c" of an earlier one',
  ]);
});

it("refuses what the agent would refuse at each try: where no check goes, and what is too large once it is down", () => {
  const check = { type: "tcp" };
  const { service: _service, ...fields } = web;
  const bare = toRegistration("a", parseRegistrationRequest({ ...fields, metadata: { note: "", more: "" } }), TIME);
  const room = REGISTRATION_BYTES_MAX - encodeRegistration(bare).length;
  const metadata = { note: "x".repeat(2000), more: "y".repeat(room - 2000) };
  expect(
    parse([
      { ...web, address: "169.254.169.254" },
      { ...web, id: "b", metadata: {} },
    ]).problems,
  ).toEqual([]);
  expect(parse([{ ...web, address: "169.254.169.254", check }]).problems).toEqual([
    expect.stringMatching(/\(web\/a\) in the file, address: must not be link-local/),
  ]);
  expect(parse([{ ...web, metadata, check }]).problems).toEqual([expect.stringMatching(/must be at most 4096 bytes/)]);
});

it.each([["a text"], [[1]], [Array.from({ length: 1001 }, () => web)]])(
  "refuses what is no list of tables, or too long",
  (tables) => {
    const { registrations, problems } = parse(tables);
    expect(registrations).toEqual([]);
    expect(problems).toHaveLength(1);
  },
);
