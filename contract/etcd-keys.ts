import { isName } from "./names.ts";

/** Everything of ours in etcd is below this prefix, so one role covers it. */
export const ETCD_PREFIX = "/fingerpost/";

/** The random identity of this etcd, made once: it tells one cluster from another where the cluster id cannot. */
export const CLUSTER_KEY = `${ETCD_PREFIX}_cluster`;
export const AGENTS_PREFIX = `${ETCD_PREFIX}_agents/`;
export const ELECTION_PREFIX = `${ETCD_PREFIX}_election/`;
/** The one key whose holder publishes. */
export const ELECTION_KEY = `${ELECTION_PREFIX}publisher`;
/** Written by the leader every few seconds: seeing it come through the watch proves that the watch is current. */
export const PUBLISHER_KEY = `${ETCD_PREFIX}_publisher`;

/** Where an instance lives. */
export interface InstanceRef {
  readonly namespace: string;
  readonly service: string;
  readonly instance: string;
}

export function instanceKey({ namespace, service, instance }: InstanceRef): string {
  return `${ETCD_PREFIX}${namespace}/${service}/${instance}`;
}

/** The sentinel of a lease: it goes with the lease's instances, and so tells an expiry from a deregistration. */
export function sentinelKey(agent: string, lease: string): string {
  return `${AGENTS_PREFIX}${agent}/${lease}`;
}

/** Whose sentinel a key is, and of which lease; undefined for any other key. */
export function parseSentinelKey(key: string): { readonly agent: string; readonly lease: string } | undefined {
  if (!key.startsWith(AGENTS_PREFIX)) return undefined;
  const [agent = "", lease = "", ...rest] = key.slice(AGENTS_PREFIX.length).split("/");
  return rest.length > 0 || agent === "" || lease === "" ? undefined : { agent, lease };
}

/** The instance a key stands for; undefined for our own keys and for anything that is not in the layout. */
export function parseInstanceKey(key: string): InstanceRef | undefined {
  if (!key.startsWith(ETCD_PREFIX)) return undefined;
  const [namespace = "", service = "", instance = "", ...rest] = key.slice(ETCD_PREFIX.length).split("/");
  if (rest.length > 0 || !isName(namespace) || !isName(service) || !isName(instance)) return undefined;
  return { namespace, service, instance };
}

/** The namespace a key is in; undefined for our own keys and for those of others. */
export function parseNamespace(key: string): string | undefined {
  const [namespace = ""] = key.startsWith(ETCD_PREFIX) ? key.slice(ETCD_PREFIX.length).split("/") : [];
  return isName(namespace) ? namespace : undefined;
}
