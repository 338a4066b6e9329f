/** Random texts of any code points. fast-check's own unit `binary` makes a table of all of them first, of a million entries. */
import fc from "fast-check";

const NUM_SURROGATES = 0x800;

/** A character: of ASCII, with an edge of UTF-8's lengths beside it, or any. */
export const anyCharacter = fc
  .oneof(
    fc.nat(0x7f),
    fc.constantFrom(0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff),
    fc.nat(0x10ffff - NUM_SURROGATES).map((n) => (n < 0xd800 ? n : n + NUM_SURROGATES)),
  )
  .map((code) => String.fromCodePoint(code));
