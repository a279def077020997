// Package awsid makes identifiers in the forms that AWS gives them.
//
// All are random: nothing can be read from them, and no two daemons agree on one.
// The package parses nothing.
package awsid

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
)

// New returns an EC2-style id: the prefix, "-0" and 16 hex digits, as in
// vpc-0a1b2c3d4e5f60718.
func New(prefix string) string { return prefix + "-0" + Hex(16) }

// Hex returns n lower-case hex digits.
func Hex(n int) string {
	b := make([]byte, (n+1)/2)
	read(b)
	return hex.EncodeToString(b)[:n]
}

// UUID returns a random UUID, version 4.
func UUID() string {
	b := make([]byte, 16)
	read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// IAM returns a unique id of IAM: a four-letter prefix (AIDA, AROA, AIPA, ANPA,
// AKIA, ASIA) and 17 upper-case letters and digits (16 for access keys).
func IAM(prefix string) string {
	n := 17
	if prefix == "AKIA" || prefix == "ASIA" {
		n = 16
	}
	b := make([]byte, 11)
	read(b)
	return prefix + base32.StdEncoding.EncodeToString(b)[:n]
}

// Lower returns n lower-case letters and digits, as in an association's a-….
func Lower(n int) string {
	b := make([]byte, n)
	read(b)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b)[:n])
}

// Secret returns n characters of a secret access key.
func Secret(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, n)
	read(b)
	for i := range b {
		b[i] = letters[b[i]&63]
	}
	return string(b)
}

// MAC returns a locally administered unicast address, with EC2's first octets.
func MAC() string {
	b := make([]byte, 4)
	read(b)
	return fmt.Sprintf("02:ec:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

// read never fails: crypto/rand ends the program where the kernel has no entropy.
func read(b []byte) { _, _ = rand.Read(b) }
