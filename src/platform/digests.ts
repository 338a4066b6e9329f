/** SHA-256, as hexadecimal text, by what is fastest. */
import { platform } from "#platform";

/** Of many bytes, which are pieces of memory of their own; they may change as soon as this returns. */
export function sha256(...pieces: readonly Uint8Array<ArrayBuffer>[]): Promise<string> {
  const digest = platform.sha256(pieces);
  // Many are kept for later: that one has failed is told then.
  digest.catch(() => undefined);
  return digest;
}

/** Of a text. */
export function sha256OfText(text: string): Promise<string> {
  return sha256(new TextEncoder().encode(text));
}

/** Whether two hexadecimal texts are equal, in a time that does not tell where they differ. */
export function equalDigests(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let different = 0;
  for (let i = 0; i < a.length; i++) different |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return different === 0;
}
