/** SHA-256, and HMAC with it (RFC 2104), as hexadecimal text. */

import { hmac } from "@noble/hashes/hmac.js";
import { sha256 as sha256Here } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { platform } from "#platform";

/** Of many bytes, which are pieces of memory of their own; they may change as soon as this returns. */
export function sha256(...pieces: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  return platform.sha256(pieces);
}

/** Of a short text, at once. */
export function sha256OfText(text: string): string {
  return bytesToHex(sha256Here(utf8ToBytes(text)));
}

export function hmacSha256(key: Uint8Array, text: string): string {
  return bytesToHex(hmac(sha256Here, key, utf8ToBytes(text)));
}

/** Whether two hexadecimal texts are equal, in a time that does not tell where they differ. */
export function equalDigests(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let different = 0;
  for (let i = 0; i < a.length; i++) different |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return different === 0;
}
