import { describe, expect, it } from "vitest";
import { resolveTarget } from "./target.ts";

const leadingTo =
  (...addresses: string[]) =>
  () =>
    Promise.resolve(addresses.map((address) => ({ address })));

describe("a target", () => {
  it.each([
    "169.254.169.254",
    "169.254.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "0.0.0.0",
    "0.1.2.3",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "::",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::ffff:0.0.0.0",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
  ])("is never %s, be it registered so or what a name leads to", async (address) => {
    await expect(resolveTarget(address)).rejects.toMatchObject({ code: "permission_denied" });
    await expect(resolveTarget("web.internal", leadingTo(address))).rejects.toThrow(/"web\.internal"/);
  });

  it.each(["127.0.0.1", "10.0.0.1", "168.254.1.1", "169.253.255.255", "192.168.0.1", "::1", "fec0::1", "2001:db8::1"])(
    "can be %s",
    async (address) => {
      expect(await resolveTarget(address)).toBe(address);
      expect(await resolveTarget("web.internal", leadingTo(address))).toBe(address);
    },
  );

  it("is the first address of a name that may be connected to", async () => {
    expect(await resolveTarget("web", leadingTo("169.254.169.254", "fe80::1", "10.0.0.7", "10.0.0.8"))).toBe(
      "10.0.0.7",
    );
  });

  it("is looked up for a name only, with the system's resolver", async () => {
    const never = () => Promise.reject(new Error("asked"));
    expect(await resolveTarget("10.0.0.1", never)).toBe("10.0.0.1");
    await expect(resolveTarget("web", never)).rejects.toThrow("asked");
    expect(["127.0.0.1", "::1"]).toContain(await resolveTarget("localhost"));
    // What the C library takes for a number is no way around.
    await expect(resolveTarget("0xa9fea9fe")).rejects.toMatchObject({ code: "permission_denied" });
  });
});
