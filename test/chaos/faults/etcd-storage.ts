import type { EtcdCluster } from "../fleet/fleet.ts";
import { base64, createEtcdAdmin, EtcdRefusal, type EtcdAdmin } from "./etcd-admin.ts";
import type { Fault } from "./fault.ts";
import { isRegistrarEtcdLine } from "./line-names.ts";
import { repeat } from "./repeat.ts";

/** Of ours alone: no registrar follows or may read what is below. */
const FILL_PREFIX = "/chaos/fill/";
/** With its base64 and the entry of the log it stays below what one request to etcd may have, 1.5 MiB. */
const FILL_BYTES = 1024 * 1024;
const RESOURCE_EXHAUSTED = 8;
/** Of code OUT_OF_RANGE: it was compacted to there already. */
const OUT_OF_RANGE = 11;
const DEFRAGMENT_EVERY_MS = 1000;

const defragment: Fault = {
  name: "etcd-defragment",
  about: "Every member of etcd is defragmented in turn, again and again: it answers nothing meanwhile.",
  touches: ["etcd", "peers"],
  async begin({ etcd }) {
    const admin = createEtcdAdmin(etcd);
    let rounds = 0;
    let slowestMs = 0;
    const stop = repeat(DEFRAGMENT_EVERY_MS, async () => {
      for (const member of etcd.members) {
        const fromMs = performance.now();
        await admin.callAt(member, "maintenance/defragment", {});
        slowestMs = Math.max(slowestMs, Math.round(performance.now() - fromMs));
      }
      rounds++;
    });
    return {
      target: "etcd",
      async end() {
        await stop();
        return { rounds, slowestMs, authentications: admin.authentications() };
      },
    };
  },
};

const compaction: Fault = {
  name: "etcd-compaction",
  about: "The publishers are cut off from etcd, and what they have not seen yet is compacted away.",
  weight: 1.5,
  touches: ["etcd", "peers", "lines to etcd"],
  async begin({ etcd, lines }) {
    const admin = createEtcdAdmin(etcd);
    const cut = lines.filter((line) => isRegistrarEtcdLine(line) && line.name.startsWith("publisher"));
    for (const { proxy } of cut) {
      await proxy.refuse(true);
      proxy.reset();
    }
    return {
      target: "etcd",
      detail: { lines: cut.map(({ name }) => name).join(" ") },
      async end() {
        // Last, so that whatever happened while they were away is in it.
        const revision = await compactToNow(admin);
        for (const { proxy } of cut) await proxy.refuse(false);
        return { revision, authentications: admin.authentications() };
      },
    };
  },
};

const noSpace: Fault = {
  name: "etcd-no-space",
  about:
    "etcd is filled up to its quota: it refuses every put and grant, until it is compacted, defragmented and disarmed.",
  touches: ["etcd", "peers"],
  async begin({ etcd }) {
    const admin = createEtcdAdmin(etcd);
    const mebibytes = await fill(admin, etcd.quotaBytes);
    return {
      target: "etcd",
      detail: { mebibytes },
      async end() {
        await makeRoom(etcd, admin);
        return { mebibytes, authentications: admin.authentications() };
      },
    };
  },
};

export const ETCD_STORAGE_FAULTS: readonly Fault[] = [defragment, compaction, noSpace];

/** To the revision of a put of its own, which is the newest there is. */
async function compactToNow(admin: EtcdAdmin): Promise<number> {
  const { header } = await admin.call("kv/put", { key: base64("/chaos/now"), value: base64("") });
  const { revision } = header as { readonly revision: string };
  try {
    await admin.call("kv/compaction", { revision, physical: true });
  } catch (error) {
    if (!(error instanceof EtcdRefusal) || error.code !== OUT_OF_RANGE) throw error;
  }
  return Number(revision);
}

async function fill(admin: EtcdAdmin, quotaBytes: number): Promise<number> {
  const value = base64("x".repeat(FILL_BYTES));
  // Past twice its quota it has not minded, and is not going to.
  const most = Math.ceil((2 * quotaBytes) / FILL_BYTES);
  for (let written = 0; written < most; written++) {
    try {
      await admin.call("kv/put", { key: base64(`${FILL_PREFIX}${written}`), value });
    } catch (error) {
      if (error instanceof EtcdRefusal && error.code === RESOURCE_EXHAUSTED) return written;
      throw error;
    }
  }
  throw new Error(`etcd took ${most} MiB with a quota of ${quotaBytes} bytes`);
}

/** As its documentation tells an operator to. */
async function makeRoom({ members }: EtcdCluster, admin: EtcdAdmin): Promise<void> {
  const range_end = base64(
    FILL_PREFIX.slice(0, -1) + String.fromCharCode(FILL_PREFIX.charCodeAt(FILL_PREFIX.length - 1) + 1),
  );
  const { header } = await admin.call("kv/deleterange", { key: base64(FILL_PREFIX), range_end });
  const { revision } = header as { readonly revision: string };
  try {
    await admin.call("kv/compaction", { revision, physical: true });
  } catch (error) {
    if (!(error instanceof EtcdRefusal) || error.code !== OUT_OF_RANGE) throw error;
  }
  for (const member of members) await admin.callAt(member, "maintenance/defragment", {});
  const { alarms } = await admin.call("maintenance/alarm", { action: "GET" });
  for (const { memberID } of (alarms ?? []) as readonly { readonly memberID: string }[]) {
    await admin.call("maintenance/alarm", { action: "DEACTIVATE", memberID, alarm: "NOSPACE" });
  }
  await compactToNow(admin);
}
