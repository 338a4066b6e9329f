/** SHA-256 by what every runtime has. */
import { sha256 as sha256Here } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/**
 * WebCrypto computes beside the caller, and has the processor's instructions for it. It takes one piece, and a page that
 * was not loaded over a secure connection has none: there the library computes, several times as slowly.
 */
export async function webSha256(pieces: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  const { subtle } = globalThis.crypto as { readonly subtle?: SubtleCrypto };
  if (subtle !== undefined) {
    const bytes = pieces.length === 1 ? pieces[0] : joined(pieces);
    return bytesToHex(new Uint8Array(await subtle.digest("SHA-256", bytes)));
  }
  const hash = sha256Here.create();
  for (const piece of pieces) hash.update(piece);
  return bytesToHex(hash.digest());
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
