// Package image builds OCI images from files and serves images to nodes.
//
// Building: Build turns a Spec into an image, byte for byte the same for the
// same files; Program lists a program of the host with the shared libraries
// it needs; WriteLayout keeps images in an OCI layout directory, each named in
// full by the annotation org.opencontainers.image.ref.name.
//
// Serving: Registry is an http.Handler for the OCI distribution API. Nodes use
// it as the mirror of every host: "?ns=<host>", or else the Host header, and the
// path make the repository "<host>/<path>". It looks in its own directory,
// then in the seeded layouts, then, if asked to, in the real registry.
//
//	<dir>/blobs/sha256/<hex>            content: manifests, configs, layers
//	<dir>/repositories/<repository>/_tags/<tag>   the digest that a tag points to
//	<dir>/uploads/<id>                  a push or a download under way
//
// A file enters blobs/ and _tags/ by rename after fsync, so what was answered
// survives kill -9 and what was not leaves only a file in uploads/, which the
// next Open removes.
//
// It does not authenticate, does not collect garbage, and does not sign. A
// blob is given to whoever knows its digest, whichever repository is named.
package image
