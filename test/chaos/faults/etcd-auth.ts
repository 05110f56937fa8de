import type { EtcdUser } from "../fleet/fleet.ts";
import { choose } from "./draw.ts";
import { createEtcdAdmin } from "./etcd-admin.ts";
import type { Fault } from "./fault.ts";

// What an operator, or time, does to the credentials of registrars. etcd forgets every token of a user whose password is
// set, at all members at once.

const WRONG_PASSWORD = "not-what-the-registrars-were-given";

const tokensExpired: Fault = {
  name: "etcd-tokens-expired",
  about: "Every token of a registrars' user is void at once, as when they expire; the password is what it was.",
  weight: 1.5,
  touches: ["etcd", "peers"],
  async begin({ etcd }, random) {
    const { username, password } = choose(random, etcd.users);
    const admin = createEtcdAdmin(etcd);
    await admin.call("auth/user/changepw", { name: username, password });
    return { target: username, detail: { authentications: admin.authentications() }, end: async () => undefined };
  },
};

const passwordChanged: Fault = {
  name: "etcd-password-changed",
  about: "The password of a registrars' user is another for a while: their tokens are void, and their logins refused.",
  touches: ["etcd", "peers"],
  async begin({ etcd }, random) {
    const { username, password } = choose(random, etcd.users);
    const admin = createEtcdAdmin(etcd);
    const set = (to: string) => admin.call("auth/user/changepw", { name: username, password: to });
    await set(WRONG_PASSWORD);
    return {
      target: username,
      async end() {
        await set(password);
        return { authentications: admin.authentications() };
      },
    };
  },
};

const roleRevoked: Fault = {
  name: "etcd-role-revoked",
  about: "A registrars' user has none of its rights for a while.",
  touches: ["etcd", "peers"],
  async begin({ etcd }, random) {
    const { username, role }: EtcdUser = choose(random, etcd.users);
    const admin = createEtcdAdmin(etcd);
    await admin.call("auth/user/revoke", { name: username, role });
    return {
      target: username,
      detail: { role },
      async end() {
        await admin.call("auth/user/grant", { user: username, role });
        return { authentications: admin.authentications() };
      },
    };
  },
};

export const ETCD_AUTH_FAULTS: readonly Fault[] = [tokensExpired, passwordChanged, roleRevoked];
