/**
 * When a token says that it expires, in milliseconds of wall time; undefined for one that says nothing, as etcd's simple
 * tokens do. The signature is not looked at: the token came from etcd, and is only ever shown to etcd.
 */
export function expiryOf(token: string): number | undefined {
  const parts = token.split(".");
  if (parts.length !== 3) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1] ?? "", "base64url").toString());
    if (typeof claims !== "object" || claims === null || !("exp" in claims)) return undefined;
    const { exp } = claims;
    return typeof exp === "number" && Number.isFinite(exp) ? exp * 1000 : undefined;
  } catch {
    // Not a JWT, then, though it has its dots. It serves until etcd refuses it.
    return undefined;
  }
}
