import { createHash, randomBytes } from "node:crypto";

/** 192 random bits as hex: nothing in it needs escaping in a URL, a config file or a shell. */
export function newPassword(): string {
  return randomBytes(24).toString("hex");
}

/** The form in which servers are told a secret that they only have to recognise. */
export function sha256Hex(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
