/** Every family against Hugging Face transformers on the reference kernels: `npm test` has the others. */
import { testGoldenFamilies } from "../conformance/golden-families.js";

testGoldenFamilies("reference");
