// Package rpki holds what a validating cache says of which AS may originate which
// prefix (Validated ROA Payloads), and judges routes by it (RFC 6811). A Client keeps
// a Table up to date by the protocol of RFC 8210, version 1, with version 0 (RFC 6810)
// as what to fall back to; of version 2 (draft-ietf-sidrops-8210bis) it reads the
// ASPA records, and counts them.
package rpki
