import { expect, it } from "vitest";
import { settings } from "./settings.ts";
import { unreadVariables } from "./unread.ts";

const asEnv = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, "x"]));

it("a variable that no process reads is told; what any of them reads, by file too, is not", () => {
  const read = settings.flatMap(({ env = "", secret }) => (secret ? [env, `${env}_FILE`] : [env]));
  const ofCommands = ["FINGERPOST_RESOLVER_TOKEN", "FINGERPOST_REGISTRAR_URL", "FINGERPOST_CACHE_DIR"];
  expect(unreadVariables(asEnv([...read, ...ofCommands, "PATH", "UPSTASH_REDIS_REST_URL"]))).toEqual([]);
  const misspelt = ["FINGERPOST_PUBLIC_KEY", "FINGERPOST_SIGNING_KEYS", "FINGERPOST_LISTEN_FILE"];
  expect(unreadVariables(asEnv([...read, ...misspelt]))).toEqual(misspelt);
});
