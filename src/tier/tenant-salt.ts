/**
 * The salts of tenants under a tier: the same on all servers that have the tier key, and not to be guessed by anybody else. Pure.
 */
import { createHmac } from "node:crypto";

/**
 * The salt of whoever has this name: HMAC-SHA-256 of the name under the tier key. Two servers with one key give one name one
 * salt, so their names must mean the same people.
 * @param tierKey the installation's, of 32 bytes or more
 */
export function tenantSalt(tierKey: Uint8Array, name: string): string {
  return createHmac("sha256", tierKey).update(name).digest("base64url");
}
