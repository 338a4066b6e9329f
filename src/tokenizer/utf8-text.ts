/**
 * Text of bytes that arrive in parts: whole characters as soon as they are there, and U+FFFD for what is none. Where the
 * bytes were cut never changes the text. A byte order mark is text like any other.
 *
 * How many U+FFFD: as in any UTF-8 decoder one for each beginning of a character that does not go on; or, as Hugging
 * Face's tokenizers do where tokens stand for single bytes, one for each byte.
 */

export interface Utf8Text {
  /** Takes bytes; returns the text that is final now. */
  push(bytes: Uint8Array): string;
  /** Ends the text: bytes that never became a character are U+FFFD. */
  flush(): string;
}

export function utf8Text(replacesEachByte: boolean): Utf8Text {
  if (replacesEachByte) return new TextOfBytes();
  const decoder = newDecoder();
  return {
    push: (bytes) => decoder.decode(bytes, { stream: true }),
    flush: () => decoder.decode(),
  };
}

/** A U+FFFD for each byte of no character. */
class TextOfBytes implements Utf8Text {
  /** The beginning of a character that may go on. */
  #open: Uint8Array = new Uint8Array();

  push(bytes: Uint8Array): string {
    const all = new Uint8Array(this.#open.length + bytes.length);
    all.set(this.#open);
    all.set(bytes, this.#open.length);
    let text = "";
    let from = 0;
    let at = 0;
    while (at < all.length) {
      const length = characterLength(all, at);
      if (length > all.length - at) break;
      if (length > 0) at += length;
      else {
        text += `${newDecoder().decode(all.subarray(from, at))}\ufffd`;
        at++;
        from = at;
      }
    }
    this.#open = all.slice(at);
    return text + newDecoder().decode(all.subarray(from, at));
  }

  flush(): string {
    const text = "\ufffd".repeat(this.#open.length);
    this.#open = new Uint8Array();
    return text;
  }
}

/**
 * Bytes of the character that begins at a place, 0 when none does. More than there are when it could still become one.
 * Table 3-7 of the Unicode standard.
 */
function characterLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at];
  if (lead < 0x80) return 1;
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  for (let i = 1; i < length && at + i < bytes.length; i++) {
    const byte = bytes[at + i];
    const first = i > 1 ? 0x80 : lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    const last = i > 1 ? 0xbf : lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    if (byte < first || byte > last) return 0;
  }
  return length;
}

function newDecoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
