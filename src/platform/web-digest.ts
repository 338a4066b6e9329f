/** SHA-256 by what every runtime has. */
import { fetchedCode } from "../fetched-code.js";

/**
 * WebCrypto computes beside the caller, and has the processor's instructions for it. It takes one piece, and a page that
 * was not loaded over a secure connection has none: there the library computes, several times as slowly.
 */
export async function webSha256(pieces: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  const { subtle } = globalThis.crypto as { readonly subtle?: SubtleCrypto };
  if (subtle !== undefined) {
    const bytes = pieces.length === 1 ? pieces[0] : joined(pieces);
    return hexOf(new Uint8Array(await subtle.digest("SHA-256", bytes)));
  }
  // Before they may change.
  const bytes = joined(pieces);
  const { sha256OfBytes } = await fetchedCode(import("./digests-here.js"));
  return sha256OfBytes(bytes);
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
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
