package resource

import "time"

// A LaunchTemplate holds numbered versions of what to launch. Its key is its id.
type LaunchTemplate struct {
	Home
	ID       string
	Name     string
	Created  time.Time
	Creator  string
	Default  int64
	Latest   int64
	Last     int64 // the highest number ever given out, if that is above Latest: numbers are not used again
	Versions []LaunchTemplateVersion
	Tags     Tags
	Token    string
}

// A LaunchTemplateVersion is one version. Data is the RequestLaunchTemplateData of
// the API as JSON of its generated type: the record keeps what the caller gave, also
// what nothing here acts on yet.
type LaunchTemplateVersion struct {
	Number      int64
	Description string
	Created     time.Time
	Creator     string
	Data        []byte
	Token       string // ClientToken of the create
}
