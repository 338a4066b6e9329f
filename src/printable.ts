/**
 * Text of others (a model's, a client's, a file's name, an error about them) made harmless for a terminal and a log: what
 * would be obeyed instead of shown, and what changes the order in which all else is shown. Whatever is printed goes
 * through here.
 */

/** Control characters, the separators of lines and paragraphs, and what embeds, overrides and isolates directions. */
const UNSAFE = /[\p{Cc}\u2028-\u202e\u2066-\u206f]/gu;

/** Text on a terminal or in a log to read: a control character becomes its picture, all else of that kind its code. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (char) => {
    const code = char.charCodeAt(0);
    if (char === "\n" || char === "\t") return char;
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : escapeOf(code);
  });
}

/** JSON text of one line: the same characters as JSON's own escapes, so that it means what it meant. */
export function printableJson(json: string): string {
  return json.replace(UNSAFE, (char) => escapeOf(char.charCodeAt(0)));
}

function escapeOf(code: number): string {
  return `\\u${code.toString(16).padStart(4, "0")}`;
}
