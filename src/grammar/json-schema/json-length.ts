/** How long a value is as JSON, found without writing it: what is far too long is not even looked at as a whole. */

/**
 * @param value plain data; one that refers to itself is longer than anything
 * @returns the characters that `JSON.stringify` would write, or, as soon as that is known to be more than `most`, some number above it
 */
export function jsonLength(value: unknown, most: number): number {
  let length = 0;
  const waiting: unknown[] = [value];
  while (waiting.length > 0 && length <= most) {
    const one = waiting.pop();
    if (typeof one === "string") length += textLength(one, most);
    else if (typeof one !== "object" || one === null) length += String(one).length;
    else if (Array.isArray(one)) {
      // Its brackets, and the commas between its elements.
      length += 1 + Math.max(1, one.length);
      if (length <= most) for (const element of one) waiting.push(element);
    } else {
      let members = 0;
      for (const [name, member] of Object.entries(one)) {
        if (member === undefined) continue;
        members += 1;
        // With its colon and the comma before it.
        length += textLength(name, most) + (members === 1 ? 1 : 2);
        if (length > most) break;
        waiting.push(member);
      }
      length += 2;
    }
  }
  return length;
}

function textLength(text: string, most: number): number {
  return text.length > most ? text.length : JSON.stringify(text).length;
}
