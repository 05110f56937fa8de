/** What stands behind the Cache API: it takes everything, and has nothing. */
export default {
  fetch(request: Request): Response {
    if (request.method === "GET") return new Response(null, { status: 504, headers: { "CF-Cache-Status": "MISS" } });
    return new Response(null, { status: 204 });
  },
};
