import { expect, it } from "vitest";
import { createManualClock } from "../../test/support/clock.ts";
import { until } from "../../test/support/until.ts";
import { createLogTo, type LogLine } from "../../node/log.ts";
import { EtcdError, EtcdLoginRefused } from "../etcd/port.ts";
import { startFirstContact } from "./first-contact.ts";

it.each([
  [
    "an etcd that refuses the user is not said to be silent, and the user is named",
    new EtcdLoginRefused("registrar-1", new EtcdError("unauthenticated", "etcd Authenticate: authentication failed")),
    /^etcd refuses this registrar/,
    /user "registrar-1"/,
  ],
  [
    "an etcd that is not reached is said to be silent",
    new EtcdError("unavailable", "etcd Range: no connection"),
    /^etcd does not answer/,
    /no connection/,
  ],
])("%s", async (_, error, message, reason) => {
  const lines: LogLine[] = [];
  const firstContact = startFirstContact({
    etcd: { get: () => Promise.reject(error) },
    key: "k",
    clock: createManualClock(),
    random: () => 0.5,
    log: createLogTo("test", (line) => lines.push(line)),
  });
  await until("it is told", () => lines.length > 0);
  expect(lines[0]?.message).toMatch(message);
  expect(lines[0]?.fields["error"]).toMatch(reason);
  await firstContact.close();
});
