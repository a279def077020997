package nodeconfig

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"
)

// ContentType is that of a MIME part which holds a NodeConfig.
const ContentType = "application/node.eks.aws"

// maxUnpacked bounds what a gzipped part may become; EC2 allows 16 KiB of
// user data, packed.
const maxUnpacked = 4 << 20

// UserData is what an instance's user data asks for.
type UserData struct {
	Node    NodeConfig
	HasNode bool // there was at least one NodeConfig
	Cloud   CloudConfig
	Scripts [][]byte // run at the first boot, in their order
	// Boothooks run at every boot, before anything else; PerBoot at every boot, too, but
	// with the scripts; PerInstance at the first one, before the scripts.
	Boothooks, PerBoot, PerInstance [][]byte
	Ignored                         []string // content types of the parts that were passed over
}

// parts are the documents of user data that are merged before they are read.
type parts struct{ node, cloud [][]byte }

// Parse reads user data. Empty user data is not an error: it asks for nothing.
func Parse(raw []byte) (UserData, error) {
	var u UserData
	var p parts
	if err := u.read(raw, "", &p); err != nil {
		return UserData{}, err
	}
	var err error
	if u.Node, u.HasNode, err = merge(p.node); err != nil {
		return UserData{}, err
	}
	if len(p.cloud) > 0 {
		if u.Cloud, err = parseCloudConfig(p.cloud); err != nil {
			return UserData{}, err
		}
	}
	return u, nil
}

// begins are what user data, or a part that is plain text, begins with, and the content
// type that it then is.
var begins = [...]struct{ prefix, mediaType string }{
	{"#!", "text/x-shellscript"},
	{"#cloud-config", "text/cloud-config"},
	{"#cloud-boothook", "text/cloud-boothook"},
	{"#include", "text/x-include-url"},
	{"#part-handler", "text/part-handler"},
	{"## template: jinja", "text/jinja2"},
}

// read sorts one part into u and p; mediaType is "" at the top, where the content tells
// what it is.
func (u *UserData) read(raw []byte, mediaType string, p *parts) error {
	raw, err := unpack(raw)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	top := mediaType == ""
	if top || mediaType == "text/plain" || mediaType == "application/x-gzip" || mediaType == "application/gzip" {
		for _, b := range begins {
			if bytes.HasPrefix(raw, []byte(b.prefix)) {
				mediaType = b.mediaType
			}
		}
	}
	switch mediaType {
	case ContentType:
		p.node = append(p.node, documents(raw)...)
	case "text/x-shellscript":
		u.Scripts = append(u.Scripts, raw)
	case "text/x-shellscript-per-boot":
		u.PerBoot = append(u.PerBoot, raw)
	case "text/x-shellscript-per-instance", "text/x-shellscript-per-once":
		u.PerInstance = append(u.PerInstance, raw)
	case "text/cloud-boothook":
		u.Boothooks = append(u.Boothooks, boothook(raw))
	case "text/cloud-config":
		p.cloud = append(p.cloud, raw)
	case "":
		if isMIME(raw) {
			return u.readMIME(raw, p)
		}
		p.node = append(p.node, documents(raw)...)
	default:
		u.Ignored = append(u.Ignored, mediaType)
	}
	return nil
}

// boothook is a boothook's script: cloud-init takes the line off that says what it is.
func boothook(raw []byte) []byte {
	if bytes.HasPrefix(raw, []byte("#cloud-boothook")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	return raw
}

func isMIME(raw []byte) bool {
	head, _, _ := bytes.Cut(raw, []byte("\n\n"))
	head = bytes.ToLower(head)
	return bytes.HasPrefix(head, []byte("mime-version:")) || bytes.HasPrefix(head, []byte("content-type:"))
}

func (u *UserData) readMIME(raw []byte, p *parts) error {
	r := bufio.NewReader(bytes.NewReader(raw))
	header, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the user data's MIME header: %w", err)
	}
	mediaType, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("reading the user data's content type: %w", err)
	}
	if !strings.HasPrefix(mediaType, "multipart/") {
		body, err := io.ReadAll(transferDecoder(header, r))
		if err != nil {
			return fmt.Errorf("reading the user data: %w", err)
		}
		return u.read(body, mediaType, p)
	}
	parts := multipart.NewReader(r, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the user data's parts: %w", err)
		}
		body, err := io.ReadAll(transferDecoder(part.Header, part))
		if err != nil {
			return fmt.Errorf("reading a part of the user data: %w", err)
		}
		partType := part.Header.Get("Content-Type")
		if partType == "" {
			partType = "text/plain"
		}
		if partType, _, err = mime.ParseMediaType(partType); err != nil {
			return fmt.Errorf("reading a part's content type: %w", err)
		}
		if err := u.read(body, partType, p); err != nil {
			return err
		}
	}
}

func transferDecoder(h textproto.MIMEHeader, r io.Reader) io.Reader {
	switch strings.ToLower(h.Get("Content-Transfer-Encoding")) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	}
	return r
}

func unpack(raw []byte) ([]byte, error) {
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return raw, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("unpacking user data: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("unpacking user data: %w", err)
	}
	if len(out) > maxUnpacked {
		return nil, fmt.Errorf("unpacking user data: more than %d bytes", maxUnpacked)
	}
	return out, nil
}

// documents splits a YAML stream.
func documents(raw []byte) [][]byte {
	var docs [][]byte
	var doc []byte
	flush := func() {
		if len(bytes.TrimSpace(doc)) > 0 {
			docs = append(docs, doc)
		}
		doc = nil
	}
	for line := range bytes.Lines(raw) {
		if bytes.Equal(bytes.TrimRight(line, " \r\n"), []byte("---")) {
			flush()
			continue
		}
		doc = append(doc, line...)
	}
	flush()
	return docs
}
