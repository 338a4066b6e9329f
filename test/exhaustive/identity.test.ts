/** The promise (test/conformance/identity.ts) of the pairs of model and type that npm test leaves out, and of all prompt lengths. */
import { range, testIdentity } from "../conformance/identity.js";

testIdentity({ name: "tiny", dtype: "int8", referenceLengths: range(1, 64) });
testIdentity({ name: "odd", dtype: "f32", referenceLengths: range(1, 64) });
testIdentity({ name: "odd", dtype: "int8", referenceLengths: range(1, 64) });
