import { createHmac } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { tenantSalt } from "./tenant-salt.js";

const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
const name = fc.string({ maxLength: 64 });

test("one key and one name give one salt; another key or another name give another", () => {
  fc.assert(
    fc.property(key, key, name, name, (a, b, one, two) => {
      expect(tenantSalt(a, one)).toBe(tenantSalt(a.slice(), one));
      expect(tenantSalt(a, one)).toBe(createHmac("sha256", a).update(one).digest("base64url"));
      if (Buffer.compare(a, b) !== 0) expect(tenantSalt(a, one)).not.toBe(tenantSalt(b, one));
      if (one !== two) expect(tenantSalt(a, one)).not.toBe(tenantSalt(a, two));
    }),
  );
});
