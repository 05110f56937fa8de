/**
 * Whether nobody on the way can read or change what is asked of a URL: plain HTTP is for a program on the same machine
 * only. Credentials in a URL are not taken: `fetch` refuses them.
 */
export function isSecureUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== "" || password !== "") return false;
  return protocol === "https:" || (protocol === "http:" && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname));
}

export const SECURE_URL_RULE = "must be an https:// URL, or http:// on a loopback address, without credentials in it";
