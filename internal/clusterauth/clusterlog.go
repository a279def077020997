package clusterauth

import (
	"fmt"
	"os"
	"strings"

	authentication "k8s.io/api/authentication/v1"
)

// note writes what became of a token into the cluster's authenticator log, if it is to have
// one, in the authenticator's own form.
func (a *Authenticators) note(cluster string, who caller, info authentication.UserInfo, refused error) {
	if a.cfg.LogFile == nil {
		return
	}
	path := a.cfg.LogFile(cluster)
	if path == "" {
		return
	}
	stamp := a.cfg.Now().UTC().Format("2006-01-02T15:04:05Z")
	line := fmt.Sprintf("time=%q level=info msg=\"access granted\" arn=%q groups=%q uid=%q username=%q\n",
		stamp, who.ARN, "["+strings.Join(info.Groups, " ")+"]", info.UID, info.Username)
	if refused != nil {
		line = fmt.Sprintf("time=%q level=warning msg=\"access denied\" arn=%q error=%q\n", stamp, who.ARN, refused.Error())
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(line)
		if ended := f.Close(); err == nil {
			err = ended
		}
	}
	if err != nil {
		a.cfg.Log.Error("writing the authenticator log", "cluster", cluster, "err", err)
	}
}
