package sqs

import (
	"crypto/md5" //nolint:gosec // SQS's clients compare these
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"ekster.dev/ekster/internal/resource"
)

// digest is the checksum by which a client finds out whether a body has come across whole.
func digest(body string) string {
	sum := md5.Sum([]byte(body)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

// attributesDigest is the same of message attributes, nil where there are none.
// See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func attributesDigest(attributes map[string]resource.MessageAttribute) *string {
	if len(attributes) == 0 {
		return nil
	}
	var buf []byte
	add := func(b []byte) {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(b))) //nolint:gosec // a queue bounds them
		buf = append(buf, b...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		add([]byte(name))
		add([]byte(a.Type))
		if strings.HasPrefix(a.Type, "Binary") {
			buf = append(buf, 2)
			add(a.Binary)
		} else {
			buf = append(buf, 1)
			add([]byte(a.Text))
		}
	}
	return new(digest(string(buf)))
}
