import { DEMO_TTL_SECONDS, type DemoInstance } from "./services.ts";

const TIMEOUT_MS = 3000;

export interface InstanceRegistration {
  register(): Promise<void>;
  /** Registers again where the registrar knows the instance no more. */
  heartbeat(): Promise<void>;
  deregister(): Promise<void>;
}

export interface RegistrationOptions {
  readonly registrar: string;
  readonly token: string;
  readonly instance: DemoInstance;
  readonly port: number;
  readonly pid: number;
}

/** What a service does to be found: three calls of the registrar's HTTP API. Each rejects when it is not answered 2xx. */
export function createRegistration({
  registrar,
  token,
  instance,
  port,
  pid,
}: RegistrationOptions): InstanceRegistration {
  const { service, id, version, zone, tags } = instance;
  const url = `${registrar}/v1/services/${service}/instances/${id}`;
  const send = async (method: string, path = "", body?: unknown) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    return response.status;
  };
  const expectOk = (status: number, what: string) => {
    if (status >= 300) throw new Error(`${what} was answered ${status}`);
  };
  const register = async () => {
    const body = {
      address: "127.0.0.1",
      port,
      version,
      zone,
      tags,
      metadata: { pid: String(pid) },
      ttlSeconds: DEMO_TTL_SECONDS,
    };
    expectOk(await send("PUT", "", body), "the registration");
  };
  return {
    register,
    async heartbeat() {
      const status = await send("POST", "/heartbeat");
      if (status === 404) await register();
      else expectOk(status, "a heartbeat");
    },
    async deregister() {
      const status = await send("DELETE");
      // 404: its time had run out before.
      if (status !== 404) expectOk(status, "the deregistration");
    },
  };
}
