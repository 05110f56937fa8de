import type { Registration } from "../../contract/registration.ts";
import type { Instance } from "../../contract/snapshot.ts";

/** A registration that is `up`, changed as told. */
export function registration(id: string, changed: Partial<Registration> = {}): Registration {
  return {
    id,
    address: "127.0.0.1",
    port: 8080,
    protocol: "http",
    weight: 100,
    tags: [],
    metadata: {},
    status: "up",
    registeredAt: "2026-11-21T04:30:00.000Z",
    ...changed,
  };
}

/** The same as it is published. */
export function instance(id: string, changed: Partial<Instance> = {}): Instance {
  return { ...registration(id), ...changed };
}
