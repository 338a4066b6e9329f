/** SHA-256, and HMAC with it (RFC 2104), as hexadecimal text, at once and by no more than JavaScript. */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

export function sha256OfBytes(bytes: Uint8Array): string {
  return bytesToHex(sha256(bytes));
}

export function sha256OfTextHere(text: string): string {
  return sha256OfBytes(utf8ToBytes(text));
}

export function hmacSha256(key: Uint8Array, text: string): string {
  return bytesToHex(hmac(sha256, key, utf8ToBytes(text)));
}
