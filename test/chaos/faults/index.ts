import { CLOCK_FAULTS } from "./clock.ts";
import { DISK_FAULTS } from "./disk.ts";
import { ETCD_AUTH_FAULTS } from "./etcd-auth.ts";
import { ETCD_CLUSTER_FAULTS } from "./etcd-cluster.ts";
import { ETCD_STORAGE_FAULTS } from "./etcd-storage.ts";
import type { Fault } from "./fault.ts";
import { LINE_FAULTS } from "./lines.ts";
import { PROCESS_FAULTS } from "./processes.ts";
import { REDIS_FAULTS } from "./redis.ts";
import { UPSTASH_FAULTS } from "./upstash.ts";

/** All there are, by unique names. */
export const FAULTS: readonly Fault[] = [
  ...PROCESS_FAULTS,
  ...ETCD_CLUSTER_FAULTS,
  ...ETCD_STORAGE_FAULTS,
  ...ETCD_AUTH_FAULTS,
  ...REDIS_FAULTS,
  ...UPSTASH_FAULTS,
  ...LINE_FAULTS,
  ...CLOCK_FAULTS,
  ...DISK_FAULTS,
];
