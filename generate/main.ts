/** `npm run generate`: writes what is made from the sources and checked in. A test says when it was forgotten. */
import { writeFileSync } from "node:fs";
import { createDocument } from "./document.ts";

const DOCUMENT = "src/http/openapi/document.json";

writeFileSync(DOCUMENT, `${JSON.stringify(createDocument(), null, 1)}\n`);
console.log(`${DOCUMENT} is as its sources are`);
