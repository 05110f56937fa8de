import type { CallOptions } from "@grpc/grpc-js";
import type { IPermission } from "etcd3";
import type { Clock } from "../../../kernel/clock.ts";
import { messageOf } from "../../../kernel/errors.ts";
import { isAuthDisabled, toFailure, type CallStatus } from "../errors.ts";
import { createInterceptor } from "../interceptor.ts";
import { EtcdError } from "../port.ts";
import { connect, type TlsOptions, type Transport } from "../transport.ts";
import type { Right } from "./rights.ts";

/** Of one call: a password costs etcd a bcrypt, which is slow on purpose, and more so with a queue before it. */
const CALL_TIMEOUT_MS = 15_000;

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface AuthAdminOptions extends TlsOptions {
  /** At least one. The first that can be reached is used. */
  readonly endpoints: readonly string[];
  /** Undefined with a client certificate, or while authentication is off. */
  readonly credentials: Credentials | undefined;
  readonly clock: Clock;
}

/**
 * etcd's users and roles, for an operator's one command; the registrar itself never asks for them. Calls reject with
 * an EtcdError, whose text holds no password.
 */
export interface AuthAdmin {
  isEnabled(): Promise<boolean>;
  enable(): Promise<void>;
  /** Undefined when there is no such role. */
  rights(role: string): Promise<readonly Right[] | undefined>;
  /** The roles of a user; undefined when there is no such user. */
  rolesOf(user: string): Promise<readonly string[] | undefined>;
  addRole(role: string): Promise<void>;
  grantRight(role: string, right: Right): Promise<void>;
  /** Without a password the user can come with a client certificate only. */
  addUser(user: string, password: string | undefined): Promise<void>;
  setPassword(user: string, password: string): Promise<void>;
  grantRole(user: string, role: string): Promise<void>;
  /** Whether etcd takes this password. Only while authentication is on. */
  accepts(credentials: Credentials): Promise<boolean>;
  close(): void;
}

export function createAuthAdmin({ endpoints, credentials, clock, ...tls }: AuthAdminOptions): AuthAdmin {
  const transports = endpoints.map((endpoint) => connect(endpoint, tls));
  let current = 0;
  let token: string | undefined;

  /** One call to the member in use, and to the next one as long as none can be reached. */
  async function send<Response>(
    method: string,
    rpc: (transport: Transport, options: CallOptions) => Promise<Response>,
  ): Promise<Response> {
    for (let tries = 1; ; tries++) {
      const transport = transports[current];
      if (!transport) throw new EtcdError("unavailable", "No etcd endpoint is given.");
      let ended: CallStatus | undefined;
      const interceptor = createInterceptor({ token, requireLeader: false, onStatus: (status) => (ended = status) });
      try {
        return await rpc(transport, { deadline: clock.now() + CALL_TIMEOUT_MS, interceptors: [interceptor] });
      } catch (cause) {
        const error = ended
          ? toFailure(ended, method).error
          : new EtcdError("unavailable", `etcd ${method} was not sent: ${messageOf(cause)}`);
        if (error.code !== "unavailable" || tries >= transports.length) throw error;
        current = (current + 1) % transports.length;
      }
    }
  }

  async function authenticate({ username: name, password }: Credentials): Promise<string> {
    token = undefined;
    const answer = await send("Authenticate", ({ auth }, options) => auth.authenticate({ name, password }, options));
    return answer.token;
  }

  return {
    async isEnabled() {
      try {
        token = await authenticate(credentials ?? { username: "root", password: "" });
        return true;
      } catch (error) {
        if (isAuthDisabled(error)) return false;
        // Without a password to show, being refused is the proof; what follows goes by the certificate.
        if (!credentials && error instanceof EtcdError && error.code !== "unavailable") return true;
        throw error;
      }
    },
    async enable() {
      await send("AuthEnable", ({ auth }, options) => auth.authEnable(options));
    },
    async rights(role) {
      const found = await unlessAbsent(send("RoleGet", ({ auth }, options) => auth.roleGet({ role }, options)));
      return found?.perm.map(toRight);
    },
    async rolesOf(name) {
      const found = await unlessAbsent(send("UserGet", ({ auth }, options) => auth.userGet({ name }, options)));
      return found?.roles;
    },
    async addRole(name) {
      await send("RoleAdd", ({ auth }, options) => auth.roleAdd({ name }, options));
    },
    async grantRight(name, right) {
      const perm = fromRight(right);
      await send("RoleGrantPermission", ({ auth }, options) => auth.roleGrantPermission({ name, perm }, options));
    },
    async addUser(name, password) {
      const user = password === undefined ? { name, options: { no_password: true } } : { name, password };
      await send("UserAdd", ({ auth }, options) => auth.userAdd(user, options));
    },
    async setPassword(name, password) {
      await send("UserChangePassword", ({ auth }, options) => auth.userChangePassword({ name, password }, options));
    },
    async grantRole(user, role) {
      await send("UserGrantRole", ({ auth }, options) => auth.userGrantRole({ user, role }, options));
    },
    async accepts({ username: name, password }) {
      try {
        await send("Authenticate", ({ auth }, options) => auth.authenticate({ name, password }, options));
        return true;
      } catch (error) {
        if (error instanceof EtcdError && error.code === "unauthenticated") return false;
        throw error;
      }
    },
    close() {
      for (const transport of transports) transport.close();
    },
  };
}

async function unlessAbsent<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EtcdError && /(role|user) name not found/.test(error.message)) return undefined;
    throw error;
  }
}

const permissions = { Read: "read", Readwrite: "readwrite", Write: "write" } as const;

function toRight({ permType, key, range_end: end }: IPermission): Right {
  return { permission: permissions[permType], key: key.toString(), end: end.length === 0 ? undefined : end.toString() };
}

function fromRight({ permission, key, end }: Right): IPermission {
  const permType = permission === "read" ? "Read" : permission === "write" ? "Write" : "Readwrite";
  return { permType, key: Buffer.from(key), range_end: Buffer.from(end ?? "") };
}
