package nodegroup

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"

	"ekster.dev/ekster/internal/resource"
)

// errNotMIME is EKS's complaint about a launch template's user data.
var errNotMIME = faultError{resource.Issue{Code: templateInvalid, Message: "User data was not in the MIME multipart format."}}

// errNotTOML is errNotMIME of a Bottlerocket node group.
var errNotTOML = faultError{resource.Issue{Code: templateInvalid, Message: "User data was not in the TOML format."}}

// copyParts writes the parts of the caller's user data, base64 as in a launch template.
func copyParts(w *multipart.Writer, own string) error {
	raw, err := base64.StdEncoding.DecodeString(own)
	if err != nil {
		return errNotMIME
	}
	msg, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return errNotMIME
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return errNotMIME
	}
	r := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errNotMIME
		}
		out, err := w.CreatePart(p.Header)
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, p); err != nil {
			return fmt.Errorf("copying user data: %w", err)
		}
	}
}
