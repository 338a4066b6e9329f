/**
 * Byte-level pieces: GPT-2's way of writing any byte as a printable character, so that a vocabulary of strings covers
 * all bytes. Source: `bytes_to_unicode` in OpenAI's gpt-2 `encoder.py`: bytes that are printable in Latin-1 stand for
 * themselves, the others take the characters from U+0100 on, in ascending order.
 */

const PRINTABLE: readonly (readonly [number, number])[] = [
  [0x21, 0x7e],
  [0xa1, 0xac],
  [0xae, 0xff],
];

const byteOfCharacter: ReadonlyMap<string, number> = new Map(
  Array.from({ length: 256 }, (_, byte) => byte)
    .map((byte) => ({ byte, printable: PRINTABLE.some(([from, to]) => byte >= from && byte <= to) }))
    // Stable: within each half the bytes stay in ascending order.
    .sort((a, b) => Number(b.printable) - Number(a.printable))
    .map(({ byte, printable }, i, all) => {
      const firstShifted = all.findIndex((other) => !other.printable);
      return [String.fromCharCode(printable ? byte : 0x100 + i - firstShifted), byte] as const;
    }),
);

/** The bytes that a byte-level piece stands for; null when a character of it stands for none. */
export function bytesOfPiece(piece: string): Uint8Array | null {
  const bytes: number[] = [];
  for (const character of piece) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) return null;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

const characterOfByte: readonly string[] = Array.from(byteOfCharacter)
  .sort((a, b) => a[1] - b[1])
  .map(([character]) => character);

/** The byte-level piece of a well-formed text: a character for each of its bytes. */
export function pieceOfText(text: string): string {
  let piece = "";
  // Most words are ASCII, and each call of an encoder costs as much as ten of their letters.
  let at = 0;
  for (; at < text.length && text.charCodeAt(at) < 0x80; at++) piece += characterOfByte[text.charCodeAt(at)];
  if (at === text.length) return piece;
  for (const byte of encoder.encode(text.slice(at))) piece += characterOfByte[byte];
  return piece;
}

const encoder = new TextEncoder();
